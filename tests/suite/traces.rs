//! Traces as a collector gets them: a span for each request, part of the trace that its client says, and the write within
//! it; and nothing of what was written.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::support::client::Client;
use crate::support::messages::user;
use crate::support::server::Server;

/// Listens for spans as a collector does, and hands on what it gets.
fn collector() -> (String, Receiver<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let (tell, told) = channel();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let tell = tell.clone();
            thread::spawn(move || receive(stream, &tell));
        }
    });
    (url, told)
}

fn receive(stream: TcpStream, tell: &Sender<Value>) {
    let mut answers = stream.try_clone().expect("a second handle");
    let mut lines = BufReader::new(stream);
    loop {
        let (mut head, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            if lines.read_line(&mut line).unwrap_or_default() == 0 {
                return;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().expect("a length");
            }
            if line.trim().is_empty() {
                break;
            }
            head.push_str(&line);
        }
        assert!(head.starts_with("POST /v1/traces "), "{head}");
        let mut body = vec![0; length];
        lines.read_exact(&mut body).expect("the body");
        let message = serde_json::from_slice(&body).expect("JSON");
        answers
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}")
            .expect("an answer");
        if tell.send(message).is_err() {
            return;
        }
    }
}

fn spans(message: &Value) -> impl Iterator<Item = &Value> {
    fn list<'v>(value: &'v Value, name: &str) -> impl Iterator<Item = &'v Value> + use<'v> {
        value[name].as_array().into_iter().flatten()
    }
    let scopes = list(message, "resourceSpans").flat_map(|resource| list(resource, "scopeSpans"));
    scopes.flat_map(|scope| list(scope, "spans"))
}

fn attribute<'s>(span: &'s Value, name: &str) -> &'s Value {
    let attributes = span["attributes"].as_array().expect("attributes");
    let found = attributes.iter().find(|attribute| attribute["key"] == name);
    &found.unwrap_or_else(|| panic!("no {name} in {span}"))["value"]
}

#[actix_web::test]
async fn a_request_is_a_span_of_its_clients_trace_and_tells_nothing_of_what_was_written() {
    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    let (url, told) = collector();
    let variables = [("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str()), ("OTEL_BSP_SCHEDULE_DELAY", "50")];
    let server = Server::sqlite_with(&variables);
    let client = Client::new(&server.base_url, &server.tenant("kommun"));
    let parent = format!("00-{TRACE}-b7ad6b7169203331-01");
    let headers = [("content-type", "application/scim+json"), ("traceparent", parent.as_str())];
    client.send("POST", "/Users", &headers, Some(user("secret.name").to_string().into_bytes())).await.expect(201);

    let (mut request, mut write, mut resources) = (None, None, Vec::new());
    while request.is_none() || write.is_none() {
        let message = told.recv_timeout(Duration::from_secs(60)).expect("spans");
        assert!(!message.to_string().contains("secret.name"), "{message}");
        for span in spans(&message).filter(|span| span["traceId"] == TRACE) {
            match span["name"].as_str() {
                Some("write") => write = Some(span.clone()),
                _ => request = Some(span.clone()),
            }
            resources.push(message["resourceSpans"][0]["resource"].clone());
        }
    }
    let (request, write) = (request.expect("a span"), write.expect("a span"));
    assert_eq!(request["name"], "POST /scim/v2/{endpoint}");
    assert_eq!(request["parentSpanId"], "b7ad6b7169203331");
    assert_eq!(attribute(&request, "http.response.status_code")["intValue"].to_string().trim_matches('"'), "201");
    assert_eq!(attribute(&request, "http.request.method")["stringValue"], "POST");
    assert!(!attribute(&request, "matrikel.request_id")["stringValue"].as_str().expect("text").is_empty());
    assert_eq!(write["parentSpanId"], request["spanId"], "the write is part of the request");
    assert_eq!(attribute(&resources[0], "service.name")["stringValue"], "matrikel");
}
